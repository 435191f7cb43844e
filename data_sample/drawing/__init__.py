"""The sample photos, drawn: pictures of fruit on white that turns frame by frame.

A fruit is a cloud of points on its skin. Each point has a normal, a color and a gloss, so blush,
spots and stem turn with the fruit. The camera rotates the cloud, keeps the nearest point per pixel,
lights it and adds the shadow on the ground.

Axes: x points right, y up, z towards the viewer. The axis of a fruit, from stem to bottom, is y;
lengths are in units of about its largest radius. A grid of points has the shape
(rows, columns, 3); its rows run from the stem to the bottom, its columns around the axis.
"""
