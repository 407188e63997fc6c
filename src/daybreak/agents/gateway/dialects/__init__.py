"""The three APIs: what a request asks for, how an answer is counted, how refusals look. One module each."""
