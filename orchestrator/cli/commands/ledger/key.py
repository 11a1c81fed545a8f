"""reprise ledger key"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("key")
@click.option("--pem", is_flag=True, help="As PEM, for other tools, in place of the one line.")
@json_option
def command(pem: bool, as_json: bool) -> None:
    """Print this box's public key, for those who check what it signed.

    The line is what --key of `audit` and `attestation verify` takes; a file may hold several. The private key
    is REPRISE_HOME/keys/signing.pem, made on first use, and readable for you alone.
    The key's fingerprint, by which people compare it, goes to standard error.

    JSON: `name`, `key_id` (as in attestations), `key` (the line), `pem`, `fingerprint` (of its 32 bytes).
    """
    if pem and as_json:
        raise click.UsageError("--json has the PEM, too")
    from orchestrator.audit.attestations.dsse import key_id
    from orchestrator.audit.keys import signing_key
    from orchestrator.cli.terminal.console import print_document, tell
    from orchestrator.launch.home_permissions import close_home
    from orchestrator.settings import load

    settings = load()
    for text in close_home(settings):
        tell(f"warning: {text}")
    key = signing_key(settings).public
    if as_json:
        document = {"name": key.name, "key_id": key_id(key), "key": key.vkey}
        print_document(document | {"pem": key.pem(), "fingerprint": key.fingerprint})
    else:
        # As it is: a line that is wrapped is no key.
        click.echo(key.pem() if pem else key.vkey, nl=not pem)
        tell(f"fingerprint: {key.fingerprint}")
