"""What a person sees while work is under way: one picture for `status --watch`, `build` and `night`.

`watcher` gathers what there is to show (a `Scene`), `page` lays it out in so many columns and lines, `outlet` puts that
on a terminal, or plain lines elsewhere. `beside` draws beside the work of this process, `watching` what others do.
Nothing in here ever ends, delays or changes work: a terminal that is gone, slow or stopped is given up.
"""
