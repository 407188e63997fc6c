from text import slug

print(slug("Hello World"))
