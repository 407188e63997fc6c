"""What runs between the guard and the program: `outside` in the guard, `inside` next to the program, and `kernel`,
the system calls of both.

The guard starts without site packages and imports these three by folder, so they import nothing of ours and
nothing slow; they are not for anybody else.
"""
