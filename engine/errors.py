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
        self.problem = one_line(problem)
        self.remedy = one_line(remedy)
        super().__init__(f"{self.problem}: {self.remedy}.")


def one_line(text: str) -> str:
    """Text with control characters as escapes: a file's name may hold a newline, or what a terminal takes for an order."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
