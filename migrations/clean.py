"""Stop the update of a project that has files which are neither committed nor ignored.

Copier looks for them, too, but not in a repository with the setting `status.showUntrackedFiles=no`: there the way back,
which it prints, would delete them.
"""

import subprocess
import sys

if __name__ == "__main__":
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    if found := subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines():
        sys.exit(f"error: commit, ignore or move what Git does not have: {found[0][3:]} ({len(found)} in all)")
