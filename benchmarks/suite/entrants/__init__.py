"""Systems that enter the benchmark, each in a process and an interpreter of its own; `contract` is what they share."""
