"""The page on surveys: look at a folder, open a survey, make one."""
