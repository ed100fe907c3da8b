setup;

% a small or a large Pittsburgh
big= false;
rate= 0.001;

trainSet= dbPitts(big, 'train');
valSet= dbPitts(big, 'val');

% SARE with a Gaussian kernel, negatives one by one
id= trainGaussKernalInd(trainSet, valSet, ...
    'netID', 'vd16','layerName', 'conv5_3', 'backPropToLayer', 'conv5_1', ... only the last block
    'method', 'vlad_preL2_intra', ...
    'learningRate', rate, ...
    'doDraw', true);
