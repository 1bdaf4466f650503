"""The decoder's block against timm's, which MAE's checkpoints were made with."""

import torch

from gr1_core.model.vit_block import ViTBlock


def test_equals_timms_block_bit_for_bit():
    from timm.models.vision_transformer import Block

    torch.manual_seed(0)
    theirs = Block(48, 6, mlp_ratio=4, qkv_bias=True, norm_layer=torch.nn.LayerNorm)
    torch.manual_seed(0)
    ours = ViTBlock(48, 6)

    weights = theirs.state_dict()
    assert list(weights) == list(ours.state_dict())
    assert all(torch.equal(weights[name], value) for name, value in ours.state_dict().items())
    x = torch.randn(2, 7, 48)
    assert torch.equal(theirs(x), ours(x))
