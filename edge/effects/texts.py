"""The messages that Penstock itself sends, where neither the tenant nor the installation has a text of that name.

`name`, `email`, `tenant` and `site` are always there. Where a message carries a `token` and no `link`, the link is made from the path here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge.effects.letter import Template

LINK_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "verify_email": "/auth/v1/verify?type=signup&token=",
        "reset_password": "/auth/v1/verify?type=recovery&token=",
        "magic_link": "/auth/v1/verify?type=magiclink&token=",
        "email_change": "/auth/v1/verify?type=email_change&token=",
        "invitation": "/invitations?token=",
        "family_invitation": "/families/invitations?token=",
        "super_admin_invitation": "/invitations?token=",
    }
)

_UNASKED = "If you did not ask for this, you need not do anything."

TEXTS: Mapping[str, Template] = MappingProxyType(
    {
        "verify_email": Template(
            "Confirm your e-mail address",
            f"Hello {{{{ name }}}},\n\nplease confirm your address for {{{{ tenant }}}}:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "reset_password": Template(
            "Choose a new password",
            f"Hello {{{{ name }}}},\n\nhere you can choose a new password for {{{{ tenant }}}}:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "magic_link": Template(
            "Sign in to {{ tenant }}", f"Hello {{{{ name }}}},\n\nsign in here:\n\n{{{{ link }}}}\n\n{_UNASKED}\n"
        ),
        "email_change": Template(
            "Confirm your new e-mail address",
            f"Hello {{{{ name }}}},\n\nplease confirm that this is your new address:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "password_changed": Template(
            "Your password was changed",
            "Hello {{ name }},\n\nthe password of your account at {{ tenant }} was changed. If that was not you, choose a new one:\n\n"
            "{{ site }}\n",
        ),
        "email_change_asked": Template(
            "Your e-mail address is about to change",
            "Hello {{ name }},\n\na change of the address of your account at {{ tenant }} was asked for. If that was not you, change your "
            "password:\n\n{{ site }}\n",
        ),
        "new_sign_in": Template(
            "A new sign-in to your account",
            "Hello {{ name }},\n\nsomebody signed in to your account at {{ tenant }} from a device that it has not been used on before. "
            "If that was not you, change your password:\n\n{{ site }}\n",
        ),
        "invitation": Template(
            "You are invited to {{ tenant }}",
            f"Hello,\n\nyou are invited to join {{{{ tenant }}}}. Accept here:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "family_invitation": Template(
            "You are invited to a family",
            f"Hello,\n\nyou are invited to a family. Accept here:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "super_admin_invitation": Template(
            "You are invited to administer {{ tenant }}",
            f"Hello,\n\nyou are invited to administer {{{{ tenant }}}}. Accept here:\n\n{{{{ link }}}}\n\n{_UNASKED}\n",
        ),
        "account_deleted": Template(
            "Your account was deleted",
            "Hello {{ name }},\n\nyour account at {{ tenant }} has been deleted, as you asked.\n",
        ),
        "webhook_disabled": Template(
            "A webhook was disabled",
            "Hello {{ name }},\n\nthe webhook\n\n{{ url }}\n\n{{ reason }}. It is told nothing more. Mend it, then enable it again.\n",
        ),
    }
)
