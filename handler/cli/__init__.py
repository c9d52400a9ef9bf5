"""The job from a terminal. Nothing here is in the Lambda's artifact, and nothing of the job imports it."""
