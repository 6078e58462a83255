"""A plain network of five convolutions for small pictures: what learns the phantom sites in seconds without a GPU."""

from typing import Final

from torch import Tensor, nn

_WIDTHS: Final = (16, 24, 48, 64, 96)
_STRIDES: Final = (2, 2, 2, 1, 1)


class SmallConvNet(nn.Module):
    """Five 3 × 3 convolutions, each with batch normalisation and ReLU, then maximum plus mean over the
    picture, then a linear layer; 0.1 million weights. It has the methods that timm's models have.

    in_chans: channels of the pictures. num_classes: outputs; 0 returns the features. drop_rate: dropout
    before the classifier.
    """

    def __init__(self, in_chans: int = 3, num_classes: int = 1000, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = _WIDTHS[-1]
        self.drop_rate = drop_rate
        layers: list[nn.Module] = []
        for before, width, stride in zip((in_chans, *_WIDTHS[:-1]), _WIDTHS, _STRIDES, strict=True):
            layers.append(nn.Conv2d(before, width, kernel_size=3, stride=stride, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.classifier: nn.Module = self._new_classifier()

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_chans, height, width) pictures → (n, num_classes) logits."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """(n, in_chans, height, width) pictures → (n, num_features, height / 8, width / 8) maps."""
        maps: Tensor = self.features(x)
        return maps

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Maps → (n, num_classes) logits, or the (n, num_features) features that the classifier reads."""
        features = x.amax(dim=(2, 3)) + x.mean(dim=(2, 3))
        features = nn.functional.dropout(features, self.drop_rate, self.training)
        if pre_logits:
            return features
        logits: Tensor = self.classifier(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new last layer with other outputs in place of the old one."""
        self.num_classes = num_classes
        self.classifier = self._new_classifier().to(next(self.parameters()).device)

    def _new_classifier(self) -> nn.Module:
        return nn.Linear(self.num_features, self.num_classes) if self.num_classes else nn.Identity()
