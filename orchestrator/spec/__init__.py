"""What is asked: the job spec, the source tree, the inputs, and the program that they define."""
