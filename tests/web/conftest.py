from support.web_fixtures import *  # noqa: F403
