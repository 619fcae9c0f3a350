"""The one hand-over: writes a release bundle. It is opened and verified by `ml.runtime.bundle`."""
