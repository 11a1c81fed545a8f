// A page of one run checks itself, without a network. What it checks, and the form of its evidence, stands in
// audit/exports/page_evidence.py, which checks the same on the command line.
addEventListener("DOMContentLoaded", async () => {
  "use strict";
  const bytes = (text) => new TextEncoder().encode(text);
  const hex = (data) => [...new Uint8Array(data)].map((one) => one.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => {
    if (!/^([0-9a-f]{2}){32}$/.test(text)) throw new Error("a hash is not 32 bytes");
    return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  };
  const unbase64 = (text) => {
    const found = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    if (btoa(String.fromCharCode(...found)) !== text) throw new Error("base64 is not as it is written");
    return found;
  };
  const join = (...parts) => {
    const found = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { found.set(part, at); at += part.length; }
    return found;
  };
  const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const same = (a, b) => hex(a) === hex(b);

  const written = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE) return "<!>"; // no page of ours has one
    if (node.localName === "script") return "";
    const pairs = [...node.attributes].map((one) => `${one.name.toLowerCase()}=${one.value}`).sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
    return `<${node.localName.toLowerCase()}${pairs.map((pair) => "\x1f" + pair).join("")}>${[...node.childNodes].map(written).join("")}</>`;
  };

  const shown = [...document.body.childNodes].map((node) => written(node)).join("");
  const list = document.getElementById("checks");
  const verdict = document.getElementById("verdict");
  list.replaceChildren();
  const say = (good, text) => {
    const item = document.createElement("li");
    item.className = good ? "good" : "bad";
    item.textContent = (good ? "holds: " : "DOES NOT HOLD: ") + text;
    list.append(item);
  };

  class Unable extends Error {}
  const checked = async (what, work) => {
    try {
      const detail = await work();
      say(true, what + (detail ? ": " + detail : ""));
      return true;
    } catch (error) {
      if (error instanceof Unable) throw error;
      say(false, `${what} (${error.message})`);
      return false;
    }
  };
  const ensure = (good, why) => { if (!good) throw new Error(why); };

  const key = {};
  const readKey = async (text) => {
    const found = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
    ensure(found, "not a key");
    const data = unbase64(found[3]);
    ensure(data.length === 33 && data[0] === 1, "not an Ed25519 key");
    key.name = found[1];
    key.raw = data.slice(1);
    key.id = (await sha256(join(bytes(key.name + "\n"), data))).slice(0, 4);
    ensure(hex(key.id) === found[2], "its parts do not belong together");
    key.fingerprint = "sha256:" + hex(await sha256(key.raw));
    try {
      key.check = await crypto.subtle.importKey("raw", key.raw, { name: "Ed25519" }, false, ["verify"]);
    } catch { throw new Unable("this browser cannot check Ed25519 signatures; a newer one can, or the command below"); }
    return key.fingerprint;
  };
  const signed = async (note) => {
    const split = note.indexOf("\n\n");
    ensure(split > 0 && note.endsWith("\n"), "not a signed note");
    const body = note.slice(0, split + 1);
    for (const line of note.slice(split + 2).split("\n")) {
      const start = `— ${key.name} `;
      if (!line.startsWith(start)) continue;
      const data = unbase64(line.slice(start.length));
      if (!same(data.slice(0, 4), key.id)) continue;
      ensure(await crypto.subtle.verify({ name: "Ed25519" }, key.check, data.slice(4), bytes(body)), "its signature was altered, or what it signs");
      return body.split("\n");
    }
    throw new Error("the key did not sign it");
  };
  const included = async (leaf, index, size, path, root) => {
    if (!(Number.isSafeInteger(index) && index >= 0 && index < size)) return false;
    let hash = leaf, number = index, last = size - 1;
    for (const one of path) {
      if (last === 0) return false;
      const beside = unhex(one);
      if (number % 2 || number === last) {
        hash = await sha256(join([1], beside, hash));
        while (number % 2 === 0 && number) { number = Math.floor(number / 2); last = Math.floor(last / 2); }
      } else hash = await sha256(join([1], hash, beside));
      number = Math.floor(number / 2);
      last = Math.floor(last / 2);
    }
    return last === 0 && same(hash, root);
  };
  const show = (documents) => {
    const facts = document.getElementById("proven");
    const add = (name, text) => {
      const row = document.createElement("tr");
      for (const one of [name, text]) row.append(Object.assign(document.createElement("td"), { textContent: one }));
      facts.append(row);
    };
    for (const event of documents) {
      const data = event.data ?? {};
      if (data.run?.job) add("job", data.run.job);
      if (data.run?.image) add("image", data.run.image);
      if (data.run && "seed" in data.run) add("seed", String(data.run.seed));
      if (event.kind === "run.finished" && data.run?.state) add("state", data.run.state);
      for (const one of data.param ?? []) add("parameter " + one.name, one.text);
      for (const one of data.metric ?? []) add("metric " + one.name, one.text);
      for (const one of data.output?.map ? data.output : []) add("output " + one.path, one.digest ?? one.status);
      for (const one of Object.values(data.verdict ?? {})) if (one?.outcome) add("verdict", one.outcome);
    }
    document.getElementById("proven-box").hidden = false;
  };

  let all = true;
  try {
    if (!crypto?.subtle) throw new Unable("this browser checks signatures only on pages of its own disk or of https");
    const given = JSON.parse(document.getElementById("evidence").textContent);
    const documents = [];
    all = await checked("the key is whole; its fingerprint, which you compare with the one that you know, is", () => readKey(given.key)) && all;
    if (key.check) {
      let head;
      all = await checked("the tree head is signed by that key", async () => {
        head = await signed(given.head);
        ensure(/^(0|[1-9][0-9]{0,15})$/.test(head[1]), "it has no size");
        head.root = unbase64(head[2]);
        return `${head[1]} entries of ledger ${head[0]}`;
      }) && all;
      all = await checked("the entries of this run are in that ledger", async () => {
        ensure(head?.root, "there is no tree head to prove it by");
        ensure(given.events.length > 0, "there are none");
        for (const event of given.events) {
          const leaf = await sha256(join([0], bytes(event.document)));
          ensure(await included(leaf, event.index, Number(head[1]), event.path, head.root), `entry ${event.index} does not lead to the signed root`);
          const said = JSON.parse(event.document);
          ensure(said.run === given.run, `entry ${event.index} is of another run`);
          documents.push(said);
        }
        return given.events.map((event) => event.index).join(", ");
      }) && all;
      all = await checked("what this page shows was signed by that key", async () => {
        const page = await signed(given.page);
        const digest = "sha256:" + hex(await sha256(bytes(shown)));
        ensure(given.format === "reprise-page/1" && page[0] === given.format && page[1] === given.run && page[2] === digest, "it was altered since");
      }) && all;
    }
    if (all) show(documents);
    verdict.className = all ? "good" : "bad";
    verdict.textContent = all ? "All of it holds, if the fingerprint is the one that you know." : "This page was altered, or does not belong to this key. Do not believe it.";
    const field = document.getElementById("known");
    field.addEventListener("input", () => {
      const text = field.value.trim();
      const fits = text === key.fingerprint;
      const out = document.getElementById("fits");
      out.className = fits ? "good" : "bad";
      out.textContent = text === "" ? "" : fits ? "the same" : "NOT the same: somebody else signed this page";
    });
  } catch (error) {
    verdict.className = "odd";
    verdict.textContent = error instanceof Unable ? "Not verified: " + error.message : "This page was altered: " + error.message;
    if (!(error instanceof Unable)) verdict.className = "bad";
  }
  document.documentElement.dataset.verified = String(all && verdict.className === "good");
});
