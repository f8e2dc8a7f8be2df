"""What a policy can do: answers to held-out problems, samples, benchmarks, and how they compare."""
