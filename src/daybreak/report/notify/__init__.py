"""Messages to people, by the channels that they use.

view        which notices there are, and what became of each on each channel: derived from the ledger
timing      quiet hours and digests: when something may be told
wording     a notice in words, without anything secret in it
asking      the door: what a channel may be reached by
sending     one message to one channel, within a time limit
rounds      what is due is sent, tried again, given up; all of it in the ledger
listing     how the channels stand
troubles    which of them fail
apprise_adapter   the one module that knows apprise
"""
