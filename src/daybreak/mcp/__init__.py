"""Other assistants use this home: they hand work over, look how it stands, answer questions and read the report, as far
as their token lets them. It speaks the Model Context Protocol over standard input and output.

`adapter` alone imports the SDK; `tools` are plain functions on an open home, and know nothing of the protocol.
"""
