"""Camera drivers, found by their module's name; each has a class `Camera`
(gr1_robot.cameras.driver.CameraDriver) and OPTIONS.
"""
