"""The one chain of migrations, shipped with the package."""
