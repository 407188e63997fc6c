"""Takes all file descriptors."""

import os

held = [os.open("stage.json", os.O_RDONLY) for _ in range(600)]
print("ESCAPED", len(held))
