"""The ground floor: records, configuration, plug points, errors and events.

Nothing here imports another room, an engine or a heavy package.
"""
