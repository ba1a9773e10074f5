"""The `w3bstream` command: every call of the API, plus what happens on the user's machine (keys, files, the service).

In come arguments and files; out go API calls through the typed client, tables or JSON on stdout, and errors with a code
and a next step on stderr. It imports the client and the verifier only, so that it starts fast and installs light.
"""

import os

# gRPC reads these when it is imported. Our children are executed anew, so its fork handlers would only print notices.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from coordinator.cli.app import app, main

__all__ = ["app", "main"]
