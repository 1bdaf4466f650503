"""A camera's driver by itself, without its node."""

from gr1_robot.cameras.driver import PlaybackEnded, driver_options, load_driver


def load(kind, node, role, width, height, rate_hz, **settings):
    """The source `kind` with its default options, but for `settings`."""
    defaults = {option.name: option.default for option in driver_options(kind)}
    return load_driver(kind, node, role, width, height, rate_hz, defaults | settings)


def frames_of(driver):
    """Every frame until the recording ends."""
    frames = []
    driver.open()
    try:
        while True:
            if frame := driver.read(0.05):
                frames.append(frame)
    except PlaybackEnded:
        return frames
    finally:
        driver.close()
