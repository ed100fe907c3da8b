"""The page in headless Chromium, from the drop of a photo to the heatmap; mouse, keys, phone."""

import pytest

from deepibl.datasets.catalog import database_places
from deepibl.networks.io import load_network
from deepibl.search.localization import build_index
from deepibl.toycity.city import make_city
from tests.browser import browser, resize
from tests.page_server import serving
from tests.small_network import SMALL_NETWORK

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.slow]
SECONDS = 30


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A toy city of 40 images, its index, and a text file that calls itself a photo."""
    folder = tmp_path_factory.mktemp("city")
    mat = make_city(folder / "city", images=40, queries=4, progress=False)
    path = SMALL_NETWORK
    build_index(
        load_network(path),
        database_places(mat, mat.parent),
        folder / "city.idx",
        network_path=path,
        progress=False,
    )
    (folder / "holiday.jpg").write_text("Dear diary, this is not a photo.")
    return folder


@pytest.fixture(scope="module")
def page(city):
    with serving(city / "city.idx") as served:
        yield served


@pytest.fixture(scope="module")
def chromium():
    with browser(1200, 900) as driver:
        yield driver


@pytest.fixture
def opened(chromium, page):
    """The page, freshly opened; afterwards: no error on the console but for refused photos."""
    resize(chromium, 1200, 900)
    chromium.get(page.url)
    wait(chromium, lambda: "geo-tagged photos" in chromium.find_element("id", "about").text)
    yield chromium
    said = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in said if "status of 41" not in message] == []


def wait(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, SECONDS).until(lambda _: condition())


def choose(driver, photo):
    driver.find_element("id", "file").send_keys(str(photo))


def cards(driver):
    return driver.find_elements("css selector", "#places > li")


def loaded(driver, selector):
    """Whether every image of a selector has come, and there is one."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map((i) => i.complete && i.naturalWidth > 0)"
    )
    found = driver.execute_script(script, selector)
    return bool(found) and all(found)


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def focused(driver):
    return driver.switch_to.active_element


def test_a_photo_of_the_city_is_found_with_picture_position_map_and_heatmap(opened, city):
    image = sorted((city / "city/images").iterdir())[8]
    choose(opened, image)
    wait(opened, lambda: len(cards(opened)) == 5)
    first = cards(opened)[0]
    assert first.find_element("class name", "name").text == image.name
    assert "0 m from the photo's own GPS" in first.find_element("class name", "near").text
    assert "distance 0.0000, cosine 1.000" in first.find_element("class name", "bar").text
    link = first.find_element("css selector", ".position a")
    assert link.get_attribute("href").startswith("https://www.openstreetmap.org/")
    opened.execute_script("for (const i of document.querySelectorAll('.picture')) i.loading = 'eager'")
    wait(opened, lambda: loaded(opened, ".picture"))
    wait(opened, lambda: len(opened.find_elements("css selector", "#map circle.pin")) >= 1)
    opened.find_element("css selector", "[data-extent=whole]").click()
    wait(opened, lambda: len(opened.find_elements("css selector", "#map circle.pin")) == 5)
    first.find_element("class name", "why").click()
    wait(opened, lambda: loaded(opened, "#places > li:first-child .heat figure img"))


def test_a_query_of_the_city_shows_the_place_that_the_api_finds(opened, page, city):
    query = sorted((city / "city/queries").iterdir())[0]
    choose(opened, query)
    wait(opened, lambda: len(cards(opened)) == 5)
    rows = [int(card.get_attribute("id").removeprefix("place-")) for card in cards(opened)]
    from deepibl.search.index import PlaceIndex
    from deepibl.search.localization import localize

    index = PlaceIndex.load(city / "city.idx")
    found, _ = localize(load_network(index.network_path), [str(query)], index, progress=False)
    assert [index.names[row] for row in rows] == [match.name for match in found[str(query)]]
    best = found[str(query)][0]
    shown = cards(opened)[0].find_element("css selector", ".position a").text
    assert shown == f"{best.latitude:.6f}, {best.longitude:.6f}"
    answer = found[str(query)]
    verdict = opened.find_element("id", "verdict")
    assert verdict.text.lower() == answer.summary.lower()
    assert verdict.get_attribute("class") == answer.verdict.replace(" ", "-")
    estimate = opened.find_element("id", "estimate")
    assert estimate.is_displayed() == (answer.estimate is not None)
    if answer.estimate is not None:
        assert f"{answer.estimate.latitude:.6f}, {answer.estimate.longitude:.6f}" in estimate.text


def test_several_photos_make_a_list_of_answers(opened, city):
    photos = [*sorted((city / "city/images").iterdir())[:2], city / "holiday.jpg"]
    choose(opened, "\n".join(map(str, photos)))
    wait(opened, lambda: opened.find_element("id", "answered").text == "3 of 3 answered")
    rows = opened.find_elements("css selector", "#photos > li")
    assert [row.find_element("class name", "name").text for row in rows] == [photo.name for photo in photos]
    for row in rows[:2]:
        link = row.find_element("css selector", ".position a")
        assert link.get_attribute("href").startswith("https://www.openstreetmap.org/")
        assert len(row.find_elements("css selector", ".answers img")) == 3
        assert row.find_element("class name", "verdict").text
    spreads = [row.find_element("class name", "position").get_attribute("textContent") for row in rows[:2]]
    assert any(each.endswith("\xa0m") for each in spreads)  # the unit stays in the number's line
    assert "holds text" in rows[2].find_element("class name", "verdict").text
    wait(opened, lambda: loaded(opened, "#photos > li:first-child img"))
    for number, photo in enumerate(photos[:2]):
        rows[number].find_element("class name", "name").click()
        assert [row.get_attribute("aria-current") for row in rows].index("true") == number
        assert cards(opened)[0].find_element("class name", "name").text == photo.name
    rows[2].find_element("class name", "name").click()
    assert opened.find_element("id", "problem").is_displayed()
    assert cards(opened) == []
    choose(opened, photos[0])
    wait(opened, lambda: len(cards(opened)) == 5)
    assert not opened.find_element("id", "several").is_displayed()


def test_a_text_file_named_jpg_shows_one_clear_error_and_the_next_photo_works(opened, city):
    choose(opened, city / "holiday.jpg")
    problem = opened.find_element("id", "problem")
    wait(opened, problem.is_displayed)
    assert problem.text.startswith("The file is not a photo: it holds text.\nSend JPEG, PNG, WEBP")
    assert not opened.find_element("id", "found").is_displayed()
    choose(opened, sorted((city / "city/images").iterdir())[0])
    wait(opened, lambda: len(cards(opened)) == 5)
    assert not problem.is_displayed()


def test_the_whole_page_works_by_keyboard(opened, city):
    from selenium.webdriver.common.keys import Keys

    seen = []
    for _ in range(2):
        press(opened, Keys.TAB)
        seen.append(focused(opened).get_attribute("id") or focused(opened).get_attribute("class"))
    assert seen == ["skip", "choose"]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert opened.execute_script(outline) == "solid"
    choose(opened, sorted((city / "city/images").iterdir())[3])  # what the file dialog does after Enter
    wait(opened, lambda: len(cards(opened)) == 5)
    wait(opened, lambda: focused(opened) == cards(opened)[0])
    press(opened, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert focused(opened) == cards(opened)[2]
    assert opened.execute_script(outline) == "solid"
    press(opened, Keys.ARROW_UP)
    assert focused(opened) == cards(opened)[1]
    press(opened, Keys.END, Keys.ARROW_DOWN)
    assert focused(opened) == cards(opened)[4]
    press(opened, Keys.HOME, Keys.ENTER)
    wait(opened, lambda: loaded(opened, "#places > li:first-child .heat figure img"))
    assert cards(opened)[0].find_element("class name", "why").get_attribute("aria-expanded") == "true"
    press(opened, Keys.ENTER)
    assert not cards(opened)[0].find_element("class name", "heat").is_displayed()
    press(opened, Keys.TAB)
    assert focused(opened).tag_name == "a"
    press(opened, Keys.TAB)
    assert focused(opened).get_attribute("class") == "why"


def test_a_pin_of_the_map_leads_to_its_card(opened, city):
    choose(opened, sorted((city / "city/images").iterdir())[5])
    wait(opened, lambda: len(opened.find_elements("css selector", "#map a")) >= 1)
    opened.find_element("css selector", "[data-extent=whole]").click()
    wait(opened, lambda: len(opened.find_elements("css selector", "#map a")) == 5)
    row = opened.execute_script("return document.querySelectorAll('#places > li')[3].id")
    click = "new MouseEvent('click', {bubbles: true, cancelable: true})"
    script = f"document.querySelector(`#map a[href='#${{arguments[0]}}']`).dispatchEvent({click})"
    opened.execute_script(script, row)
    assert focused(opened).get_attribute("id") == row


@pytest.mark.parametrize("width", [1000, 901, 900, 700, 561, 480])
def test_no_width_cuts_anything_off(opened, city, width):
    resize(opened, width, 900)
    choose(opened, sorted((city / "city/images").iterdir())[1])
    wait(opened, lambda: len(cards(opened)) == 5)
    wait(opened, lambda: opened.find_elements("css selector", "#map svg"))
    script = """
        const inline = (e) => getComputedStyle(e).display === 'inline';
        const overflows = (e) => e.scrollWidth > e.clientWidth + 1 && !inline(e);
        const cut = (e) => e.offsetParent && e.tagName !== 'METER' &&
            (overflows(e) || e.getBoundingClientRect().right > innerWidth);
        return [...document.querySelectorAll('main *')].filter(cut).map((e) => e.outerHTML.slice(0, 80))"""
    assert opened.execute_script(script) == []


@pytest.mark.parametrize("width", [360, 320])
def test_a_phone_shows_everything_without_sideways_scrolling(opened, city, width):
    resize(opened, width, 740, phone=True)
    opened.refresh()
    wait(opened, opened.find_element("id", "take").is_displayed)
    choose(opened, sorted((city / "city/images").iterdir())[1])
    wait(opened, lambda: len(cards(opened)) == 5)
    wait(opened, lambda: opened.find_elements("css selector", "#map svg"))
    opened.find_element("class name", "why").click()
    wait(opened, lambda: loaded(opened, "#places > li:first-child .heat figure img"))
    assert opened.execute_script("return document.documentElement.scrollWidth") == width
    buttons = [
        button.size["height"]
        for button in opened.find_elements("tag name", "button")
        if button.is_displayed()
    ]
    assert min(buttons) >= 36  # for fingers


def test_a_busy_page_is_asked_again_by_itself(opened, city):
    opened.execute_script("""
        const real = window.fetch;
        const body = JSON.stringify({error: 'busy', what_to_do: 'Later.'});
        window.said = [];
        new MutationObserver(() => said.push(document.getElementById('status').textContent))
            .observe(document.getElementById('status'), {childList: true});
        let refusals = 2;
        window.fetch = (...asked) => asked[0] !== 'api/localize' || refusals-- <= 0 ? real(...asked) :
            Promise.resolve(new Response(body, {status: 503, headers: {'Retry-After': '1'}}));""")
    choose(opened, sorted((city / "city/images").iterdir())[0])
    wait(opened, lambda: len(cards(opened)) == 5)
    said = opened.execute_script("return said")
    assert said.count("The page is busy; asking again in 1 s …") == 2
    assert not opened.find_element("id", "problem").is_displayed()


def test_a_server_that_is_gone_is_said_and_can_be_asked_again(opened, city):
    opened.execute_script(
        "window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('x'))"
    )
    choose(opened, sorted((city / "city/images").iterdir())[0])
    problem = opened.find_element("id", "problem")
    wait(opened, problem.is_displayed)
    assert "does not answer" in problem.text
    opened.execute_script("window.fetch = window.real")
    opened.find_element("id", "again").click()
    wait(opened, lambda: len(cards(opened)) == 5)


def test_nothing_is_loaded_from_elsewhere(opened, page, city):
    choose(opened, sorted((city / "city/images").iterdir())[2])
    wait(opened, lambda: opened.find_elements("css selector", "#map svg"))
    asked = opened.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert len(asked) > 5
    assert [name for name in asked if not name.startswith((page.url, "blob:"))] == []


def test_both_colour_schemes_have_readable_text(opened):
    for scheme, dark in (("light", False), ("dark", True)):
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        ink, ground = (sum(map(int, value[4:-1].split(","))) for value in opened.execute_script(script))
        assert (ground < 150 and ink > 600) if dark else (ground > 650 and ink < 150)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
