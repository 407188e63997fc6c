"""Servers that keep repositories: issues come in as tasks, verified branches go out as pull or merge requests.

forge       what a forge can do for us, and how it fails
github      GitHub and GitHub Enterprise, through PyGithub
gitlab      GitLab, through python-gitlab
reaching    a forge by its name in the settings, past the door
pushing     a branch to where the forge keeps the repository
intake      issues become tasks
offering    a verified branch becomes a request, once
wording     what a request says
"""
