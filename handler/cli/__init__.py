"""The command line. The Lambda artifact leaves it out, and no module of the job imports it."""
