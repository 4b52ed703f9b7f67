"""``python -m echolm.cli``, for torchrun."""

from echolm.cli.main import main

if __name__ == "__main__":
    main()
