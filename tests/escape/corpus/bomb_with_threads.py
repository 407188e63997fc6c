"""Starts threads without end."""

import threading

stop = threading.Event()
threading.stack_size(64 * 1024)
try:
    for _ in range(150):
        threading.Thread(target=stop.wait, daemon=True).start()
    stop.wait(0.3)
    print("ESCAPED")
except RuntimeError as error:
    print("stopped", error)
finally:
    stop.set()
