from .product import Desk
def test_a(sink: Desk):
    print(sink.run("maker", "add", "--name", "Ada"))
