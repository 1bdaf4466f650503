"""`gr1 serve`."""

from __future__ import annotations

import argparse
import signal
import threading

from gr1_core.commands.arguments import Parser, checkpoint

HELP = "serve a checkpoint to robots over the network: the policy node then needs no GPU"
PORT = 8765


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 serve", description=HELP)
    parser.add_argument(
        "--checkpoint",
        type=checkpoint,
        required=True,
        metavar="DIR",
        help="folder of the checkpoint, or demo: the one that comes with the package",
    )
    parser.add_argument(
        "--host", default="", metavar="ADDRESS", help="address to listen on (default: all addresses)"
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, metavar="N", help=f"port; 0: a free one (default: {PORT})"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "int8", "fp64"),
        default="auto",
        help="of the model (default: auto)",
    )
    parser.add_argument(
        "--new-token", action="store_true", help="replace the token: robots need the new access file"
    )
    parser.add_argument(
        "--no-tls",
        action="store_true",
        help="without TLS, on a loopback address only: behind an SSH tunnel, for example",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    if arguments.no_tls and arguments.host not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError(
            "--no-tls would send the token in the clear: give --host 127.0.0.1, or leave --no-tls out"
        )
    # Ctrl-C and SIGTERM end it from here on, also while the model loads.
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    from gr1_core.policy import Policy
    from gr1_core.remote import access, certificate
    from gr1_core.remote.addresses import addresses
    from gr1_core.remote.served import describe
    from gr1_core.remote.server import PolicyServer

    rights, tls, new = access.ensure(certificate.folder("serve"), arguments.new_token)
    served = describe(arguments.checkpoint)
    policy = Policy.from_pretrained(arguments.checkpoint, arguments.device, arguments.precision)
    policy.warm_up()
    if ended.is_set():
        return 0
    try:
        server = PolicyServer(
            policy,
            served,
            rights.token,
            host=arguments.host,
            port=arguments.port,
            tls=None if arguments.no_tls else tls.context(),
            log=lambda line: print(line, flush=True),
        )
    except OSError as error:
        where = f"{arguments.host or 'all addresses'}, port {arguments.port}"
        raise ValueError(
            f"cannot listen on {where} ({error.strerror or error}): choose another --host or --port"
        ) from error
    host = arguments.host or (addresses() or ["localhost"])[0]
    scheme = "ws" if arguments.no_tls else "wss"
    print(f"{served.checkpoint} ({policy.precision}, {policy.device}) for rig {policy.rig.name}")
    print(f"on the robot: server:={scheme}://{f'[{host}]' if ':' in host else host}:{server.port}")
    print(f"access file{' (new: copy it to the robot)' if new else ''}: {access.default_file()}", flush=True)
    ended.wait()
    server.close()
    return 0


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port number")
    return int(text)
