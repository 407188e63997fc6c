"""May it happen, and when again.

`door` asks a token (`capability`, `grant`); `protected` and `redaction` keep secrets where they are; `injection` looks
at untrusted text; `incident` says what is to be done; `journal` writes all of it into the ledger and keeps the views.
Import the module and let it be part of the name: nothing heavy is loaded for one that is not used.
"""
