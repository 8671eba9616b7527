"""What the command line answers the shell."""

DONE = 0
SOME_FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
