"""The smallest specification that tests hand over."""

from __future__ import annotations

NOTES = """\
---
name: notes
interfaces: [cli]
complexity: simple
---
# Notes

Short texts that stay.

## Objectives
- keep notes

## Requirements

### Functional Requirements
- **FR-001**: System MUST add a note and say its number

### Key Entities

#### Note

| field | type | rules |
|---|---|---|
| text | text | required, 1..80 |

## Acceptance

### FR-001 adding
```console
$ notes note add --text hello
added note 1
```
"""
