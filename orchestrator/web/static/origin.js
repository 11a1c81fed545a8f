// SHA-256 of a file, piece by piece, in the browser: also over plain http, where crypto.subtle is not there.
(() => {
  "use strict";
  const PIECE = 1 << 22;
  // The constants of FIPS 180-4: fractions of the roots of the first primes.
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const part = (x) => ((x - Math.floor(x)) * 4294967296) | 0;
  const K = new Int32Array(primes.map((p) => part(Math.cbrt(p))));
  class Sha256 {
    constructor() {
      this.h = new Int32Array(primes.slice(0, 8).map((p) => part(Math.sqrt(p))));
      this.w = new Int32Array(64);
      this.rest = new Uint8Array(64);
      this.held = 0;
      this.size = 0;
    }
    add(data) {
      this.size += data.length;
      let at = 0;
      if (this.held) {
        at = Math.min(64 - this.held, data.length);
        this.rest.set(data.subarray(0, at), this.held);
        this.held += at;
        if (this.held < 64) return;
        this.block(this.rest, 0);
        this.held = 0;
      }
      for (; at + 64 <= data.length; at += 64) this.block(data, at);
      this.rest.set(data.subarray(at));
      this.held = data.length - at;
    }
    block(d, at) {
      const w = this.w, h = this.h;
      for (let i = 0; i < 16; i++, at += 4) w[i] = (d[at] << 24) | (d[at + 1] << 16) | (d[at + 2] << 8) | d[at + 3];
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15], y = w[i - 2];
        w[i] = (w[i - 16] + w[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ (x >>> 3)) + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ (y >>> 10))) | 0;
      }
      let [a, b, c, e0, e, f, g, i0] = h;
      for (let i = 0; i < 64; i++) {
        const t = (i0 + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const u = (((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        i0 = g; g = f; f = e; e = (e0 + t) | 0; e0 = c; c = b; b = a; a = (t + u) | 0;
      }
      [a, b, c, e0, e, f, g, i0].forEach((value, i) => { h[i] = (h[i] + value) | 0; });
    }
    hex() {
      const size = this.size, end = new Uint8Array((this.held < 56 ? 64 : 128) - this.held);
      end[0] = 0x80;
      const view = new DataView(end.buffer);
      view.setUint32(end.length - 8, Math.floor(size / 0x20000000));
      view.setUint32(end.length - 4, (size << 3) >>> 0);
      this.add(end);
      return [...this.h].map((one) => (one >>> 0).toString(16).padStart(8, "0")).join("");
    }
  }

  const drop = document.getElementById("drop");
  const input = document.getElementById("file");
  const said = document.getElementById("hashing");
  const field = document.getElementById("digest");
  drop.hidden = false;
  let turn = 0;
  async function hash(file) {
    const mine = ++turn, sum = new Sha256();
    try {
      for (let at = 0; at < file.size; at += PIECE) {
        sum.add(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
        if (mine !== turn) return;
        said.textContent = `${file.name}: ${Math.round(Math.min(100, 100 * (at + PIECE) / file.size))} %`;
      }
    } catch {
      said.textContent = `${file.name} cannot be read: it changed, or it is a folder`;
      return;
    }
    field.value = sum.hex();
    document.getElementById("ask").requestSubmit();
  }
  input.addEventListener("change", () => { if (input.files[0]) hash(input.files[0]); });
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  addEventListener("drop", (event) => { const file = event.dataTransfer && event.dataTransfer.files[0]; if (file) hash(file); });
})();
