"""Errors that say the remedy."""


class UserError(Exception):
    """What the user can mend: a problem in their terms and what to do about it.

    The command line prints both as one sentence and leaves with exit status 2; the app shows them in a notice.

    Parameters
    ----------
    problem : str
        What was wrong, and with which file or object. No full stop at the end.
    remedy : str
        What to do about it, as an imperative. No full stop at the end.
    """

    def __init__(self, problem: str, remedy: str):
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}: {remedy}.")
