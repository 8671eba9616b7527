"""Lists every file with the first line of its docstring: `python tests/file_list.py` writes docs/files.md."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = "watchline pipeline engines streams ops models train export measure bench examples".split()
HEAD = """# Files

Every file with the first line of its docstring (`python tests/file_list.py` writes this page).
"""


def page() -> str:
    """The content of the page. Links to folders are not followed, because the folders are at the top level."""
    text = HEAD
    for folder in FOLDERS:
        files = [file for file in sorted((ROOT / folder).rglob("*.py")) if not _behind_link(file)]
        documented = [(file, ast.get_docstring(ast.parse(file.read_text()))) for file in files]
        for parent in dict.fromkeys(file.parent for file, docstring in documented if docstring):
            text += f"\n## {parent.relative_to(ROOT)}/\n\n"
            text += "".join(
                f"- `{file.name}`: {docstring.splitlines()[0]}\n"
                for file, docstring in documented
                if file.parent == parent and docstring
            )
    return text


def _behind_link(file: Path) -> bool:
    return any(parent.is_symlink() for parent in file.parents if parent.is_relative_to(ROOT))


if __name__ == "__main__":
    (ROOT / "docs" / "files.md").write_text(page())
