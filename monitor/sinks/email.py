"""E-mail over SMTP. The message id comes from the idempotency key, so that a mail server can see a repeat."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from typing import Literal

from pydantic import Field, SecretStr

from monitor.sink import Notification, Outcome, SinkBase, SinkKind, SinkOptions
from monitor.sinks.http import said


class Options(SinkOptions):
    """Settings of the e-mail sink.

    Attributes:
        host: SMTP server.
        port: Its port.
        security: ``starttls`` (port 587), ``tls`` (port 465), or ``none`` (only for a server on this machine).
        username: For the server; none: no login.
        password: For the server.
        sender: Address in From.
        to: Addresses in To.
        ca_file: Certificate authority; the system's when not given.
    """

    type: Literal["email"] = "email"
    host: str
    port: int = Field(default=587, gt=0, lt=65536)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str
    to: tuple[str, ...] = Field(min_length=1)
    ca_file: str | None = None
    deadline_s: float = Field(default=30.0, gt=0)
    per_minute: float | None = Field(default=10.0, gt=0)


class EmailSink(SinkBase):
    """One connection per mail, in a thread."""

    def __init__(self, options: Options) -> None:
        self.options = options

    async def deliver(self, notification: Notification) -> Outcome:
        """Send one mail. 4xx answers may go through later, 5xx are final."""
        try:
            await asyncio.to_thread(self._send, mail(notification, self.options.sender, self.options.to))
        except smtplib.SMTPResponseException as error:
            final = 500 <= error.smtp_code < 600
            return (Outcome.drop if final else Outcome.retry)(f"SMTP {error.smtp_code}")
        except smtplib.SMTPRecipientsRefused as error:
            final = all(code >= 500 for code, _ in error.recipients.values())
            return (Outcome.drop if final else Outcome.retry)("recipients refused")
        except (smtplib.SMTPException, OSError) as error:
            return Outcome.retry(said(error))
        return Outcome.ok("accepted by the mail server")

    def _send(self, message: EmailMessage) -> None:
        options = self.options
        context = ssl.create_default_context(cafile=options.ca_file) if options.security != "none" else None
        with self._connect(context) as server:
            if options.security == "starttls":
                server.starttls(context=context)
            if options.username is not None:
                server.login(options.username, options.password.get_secret_value() if options.password else "")
            server.send_message(message)

    def _connect(self, context: ssl.SSLContext | None) -> smtplib.SMTP:
        options = self.options
        if options.security == "tls":
            return smtplib.SMTP_SSL(options.host, options.port, timeout=options.deadline_s, context=context)
        return smtplib.SMTP(options.host, options.port, timeout=options.deadline_s)


def mail(notification: Notification, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The message. Line breaks cannot get into a header."""
    message = EmailMessage()
    message["Subject"] = " ".join(notification.title.split())[:200]
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Message-ID"] = f"<{notification.key}@market-risk-monitor>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notification.text or notification.title)
    return message


KIND = SinkKind(Options, EmailSink)
