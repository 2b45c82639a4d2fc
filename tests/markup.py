"""Markup as a reader gets it: well formed, with its text and what it asks for."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "line", "polyline", "circle"}


class Markup(HTMLParser):
    """Fails where tags are not closed in the order they were opened; keeps text, tags and what is asked for."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags, self.sources = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data):
        self.text.append(data)


def parse(markup):
    parser = Markup()
    parser.feed(markup)
    parser.close()
    assert not parser.open
    return parser
