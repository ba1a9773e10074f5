"""The `w3bstream` command: every call of the API, plus what happens on the user's machine (keys, files, the service).

In come arguments and files; out go API calls through the typed client, tables or JSON on stdout, and errors with a code
and a next step on stderr. It imports the client and the verifier only, so that it starts fast and installs light.
"""

from coordinator.cli.app import app, main

__all__ = ["app", "main"]
