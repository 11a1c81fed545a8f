"""reprise build"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import json_option, quiet_option, spec_options


@click.command("build")
@spec_options
@click.option("--load", is_flag=True, help="Load the image into the engine, too: `docker run` then has it.")
@click.option("--push", is_flag=True, help="Push the image into the registry (REPRISE_REGISTRY).")
@quiet_option
@json_option
def command(
    spec: Path,
    params: dict[str, str],
    seed: int | None,
    inputs: dict[str, str],
    require_clean: bool,
    load: bool,
    push: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Assemble the image of a job spec and print its digest.

    Nothing is run, and without --load no engine is needed, not to --push either. The digest is the last
    line of standard output.

    JSON: `digest`, `config_digest`, `base`, `layers`, `packages`, `program`, `input_origins` (of inputs that
    were looked up: `asked`, and `data` and `version`, or `run` and `path`).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.build_image import BuildRequest, build
    from orchestrator.view.image_view import built_view

    request = BuildRequest(
        spec_path=spec, params=params, seed=seed, inputs=inputs, require_clean=require_clean, run=False
    )
    with opened() as session, watching(as_json, quiet) as watch:
        built = build(session, request, watch)
        image = built.image
        if push:
            from orchestrator.launch.move_images import push_image

            push_image(session, image, watch)
        if load:
            from orchestrator.launch.submit.submit_run import load as load_image

            watch.phase("load", image.tag)
            load_image(session, image, watch)
    print_view(built_view(built), as_json, quiet)
