"""The page on representations: forms, commands, trainings as they run."""
