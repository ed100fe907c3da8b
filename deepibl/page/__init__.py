"""`deepibl serve`: a page on this machine that says where a photo was taken, and its JSON API.

It needs the extra `web` (FastAPI, uvicorn, python-multipart). One thread computes; requests wait in front of
it in a queue of bounded length. A photo is kept in memory while its answer is computed, and nowhere else.

>>> from deepibl.page.app import create_app           # an ASGI application, for a server of your own
>>> app = create_app(finder, root="photos")           # finder: deepibl.page.finder.PlaceFinder

Rooms: `app` the routes · `desk` from a request to its answer · `models` what is answered · `refusal` errors ·
`limits`, `upload`, `photo` what comes in · `worker`, `finder` what is computed · `places` pictures and maps
of the index · `guard` headers and other sites · `server` the address · `static/` the page itself.
"""
