from util import slug

print(slug("Hello World"))
