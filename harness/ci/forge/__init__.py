"""Pull requests as forges' APIs tell of them: Gitea and Forgejo, GitHub, GitLab."""
