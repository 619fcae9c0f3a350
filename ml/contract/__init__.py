"""What everyone agrees on: columns, ids, errors, the manifest. Depends on nothing else of ours."""
