"""Decides who may do what and how much of it, and writes down who did. In come API keys, DIDs, signed intents and
requests' sizes; out go callers, tokens, refusals with a code, quota counts and the audit log's hash chain."""
