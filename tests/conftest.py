"""What holds for all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, which ignores Ctrl-C for its children. Tests send it themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
