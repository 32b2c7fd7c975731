"""What CIs take for a command in a job's output, as their own sources have it."""

import re

# .NET's reader of lines, and therefore GitHub's and Azure's, ends a line at each of these.
_LINE = re.compile(r"\r\n|\r|\n")
# Others end lines at more: Python's own `splitlines`, which tools that read a log often use.
_ANY_LINE = re.compile(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")

READERS = {
    # actions/runner, src/Runner.Common/ActionCommand.cs: TryParseV2, then TryParse
    "GitHub": (_LINE, re.compile(r"^\s*::[A-Za-z-]+[^:]*::|##\[[^\]]*\]")),
    # nektos/act and the runner of Gitea and Forgejo, pkg/runner/command.go
    "act": (_ANY_LINE, re.compile(r"^::[^ ]+( .+)?::|^##\[[^ ]+( .+)?\]")),
    # microsoft/azure-pipelines-agent, src/Microsoft.VisualStudio.Services.Agent/Command.cs
    "Azure": (_LINE, re.compile(r"##vso\[[^\]]*\]")),
    "TeamCity": (_ANY_LINE, re.compile(r"##teamcity\[")),
    # GitLab's runner folds a log at these; they need the return and the escape
    "GitLab": (re.compile("\n"), re.compile("section_(start|end):\\d+:.*\x1b")),
    # junit-attachments-plugin of Jenkins, GitLab, PublishTestResults of Azure
    "JUnit": (_ANY_LINE, re.compile(r"\[\[ATTACHMENT\|")),
}


def commands(text: str) -> list[str]:
    """Return what any of these CIs would take for a command, with the CI before it."""
    return [
        f"{name}: {line!r}"
        for name, (ends, pattern) in READERS.items()
        for line in ends.split(text)
        if pattern.search(line)
    ]
