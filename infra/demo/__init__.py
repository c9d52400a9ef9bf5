"""The demo and its programs: the job with faults and consumers, and the job to write a consumer against."""
